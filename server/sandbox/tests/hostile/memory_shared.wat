;; Wants a memory that threads share: refused at upload.
(memory $memory 2 4 shared)
