;; Adds the claim `tier` twice.
(func $evaluate (param i32) (result i32)
  (memory.copy (i32.const 2424) (i32.const 2400) (i32.const 24))
  (i32.store (i32.const 2332) (i32.const 2400))
  (i32.store (i32.const 2336) (i32.const 2))
  (i32.const 2304))
