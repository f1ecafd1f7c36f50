;; Writes a canary all over a large memory, for whoever gets it next.
(memory $memory 60)

(func $evaluate (param i32) (result i32)
  (memory.fill (i32.const 131072) (i32.const 0xa5) (i32.const 800000))
  (i32.const 2304))
