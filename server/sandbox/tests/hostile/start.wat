;; Has a start function, which would run before anything is asked: refused at upload.
(start $begin)

(func $begin)
