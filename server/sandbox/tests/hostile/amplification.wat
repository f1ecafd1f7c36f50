;; Grants 1,500 scopes that are all the same 60 KB: 90 MB for the server to copy.
(memory $memory 4)

(func $evaluate (param i32) (result i32)
  (local $at i32)
  (memory.fill (i32.const 131072) (i32.const 65) (i32.const 60000))
  (loop $again
    (i32.store
      (i32.add (i32.const 4096) (i32.mul (local.get $at) (i32.const 8)))
      (i32.const 131072))
    (i32.store
      (i32.add (i32.const 4100) (i32.mul (local.get $at) (i32.const 8)))
      (i32.const 60000))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $at) (i32.const 1500))))
  (i32.store8 (i32.const 2312) (i32.const 1))
  (i32.store (i32.const 2316) (i32.const 4096))
  (i32.store (i32.const 2320) (i32.const 1500))
  (i32.const 2304))
