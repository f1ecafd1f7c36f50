;; Answers with ten thousand notes.
(memory $memory 4)

(func $evaluate (param i32) (result i32)
  (i32.store (i32.const 2340) (i32.const 4096))
  (i32.store (i32.const 2344) (i32.const 10000))
  (i32.const 2304))
