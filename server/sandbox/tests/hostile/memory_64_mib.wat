;; Declares 64 MiB of memory: refused at upload.
(memory $memory 1024)
