;; Wants 64-bit addresses: refused at upload.
(memory $memory i64 2)
