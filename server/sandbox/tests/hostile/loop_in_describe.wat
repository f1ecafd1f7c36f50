;; Loops for ever when it is asked what it is: refused at upload.
(func $describe (result i32)
  (loop $again (br $again))
  (unreachable))
