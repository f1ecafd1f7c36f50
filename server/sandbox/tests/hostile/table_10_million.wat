;; Declares a table of ten million elements: refused at upload.
(table $table 10000000 funcref)
