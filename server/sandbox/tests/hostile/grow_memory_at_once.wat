;; Asks for half a gigabyte and would fill it.
(func $evaluate (param i32) (result i32)
  (drop (memory.grow (i32.const 8192)))
  (memory.fill (i32.const 0) (i32.const 65) (i32.const 0x20000000))
  (i32.const 2304))
