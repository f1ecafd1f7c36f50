;; Declares 4 GiB of memory: refused at upload.
(memory $memory 65536)
