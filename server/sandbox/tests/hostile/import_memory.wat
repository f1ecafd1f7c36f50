;; Imports its memory: refused at upload.
(import "env" "memory" (memory $memory 2))
