;; Panics when it is asked what it is: refused at upload.
(func $describe (result i32) (unreachable))
