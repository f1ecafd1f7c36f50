;; Adds a claim of one megabyte of JSON.
(memory $memory 20)

(func $evaluate (param i32) (result i32)
  (i32.store8 (i32.const 2408) (i32.const 4))
  (i32.store (i32.const 2416) (i32.const 131072))
  (i32.store (i32.const 2420) (i32.const 1000000))
  (i32.store (i32.const 2332) (i32.const 2400))
  (i32.store (i32.const 2336) (i32.const 1))
  (i32.const 2304))
