;; Is asked for one block for the whole question, and offers the place where its own texts are: a part of what it is
;; asked becomes the name of the claim that it adds.
(@custom "writ-policy-allocator" "bump")
(func $realloc (param i32 i32 i32 i32) (result i32)
  (if (result i32) (i32.le_u (local.get 3) (i32.const 128))
    (then (i32.const 65536))
    (else (i32.const 1024))))
