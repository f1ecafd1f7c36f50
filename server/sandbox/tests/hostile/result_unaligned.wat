;; Returns a pointer that is not aligned.
(func $evaluate (param i32) (result i32) (i32.const 2305))
