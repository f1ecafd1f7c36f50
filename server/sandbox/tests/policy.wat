;; An honest policy, as the canonical ABI wants it: the rest of every test module.
;;
;; A test puts its own text at `{test}`; whichever of the blocks below defines something that the
;; test defines as well (by its `$name`) is left out. Blocks are separated by empty lines.
;;
;; What is where: 1024.. texts, 2048 the descriptor, 2304 an outcome, 3072.. what a test has,
;; 65536.. what the server lowers into the policy.

(memory $memory 2)

(export "memory" (memory $memory))

(export "cabi_realloc" (func $realloc))

(export "writ:policy/evaluator@1.0.0#describe" (func $describe))

(export "writ:policy/evaluator@1.0.0#validate" (func $validate))

(export "writ:policy/evaluator@1.0.0#evaluate" (func $evaluate))

(global $heap (mut i32) (i32.const 65536))

;; A bump allocator: nothing is ever freed, the instance ends with the call.
(func $realloc (param $old i32) (param $old-size i32) (param $align i32) (param $size i32)
  (result i32)
  (local $at i32)
  (local.set $at
    (i32.and
      (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
  (global.set $heap (i32.add (local.get $at) (local.get $size)))
  (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
    (then
      (drop
        (memory.grow
          (i32.add
            (i32.const 1)
            (i32.div_u
              (i32.sub (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
              (i32.const 65536)))))))
  (local.get $at))

(func $describe (result i32) (i32.const 2048))

;; Every setting is fine: zeros.
(func $validate (param $settings i32) (param $length i32) (result i32) (i32.const 2560))

;; Grants all scopes that were asked about, for at most 300 s, with the claim `tier` = "gold".
(func $evaluate (param $request i32) (result i32)
  (local $lifetime i32)
  (i32.store8 (i32.const 2312) (i32.const 1))
  (i64.store align=4 (i32.const 2316) (i64.load align=4 (i32.add (local.get $request) (i32.const 92))))
  (local.set $lifetime (i32.load (i32.add (local.get $request) (i32.const 100))))
  (i32.store8 (i32.const 2324) (i32.const 1))
  (i32.store
    (i32.const 2328)
    (select (local.get $lifetime) (i32.const 300) (i32.lt_u (local.get $lifetime) (i32.const 300))))
  (i32.store (i32.const 2332) (i32.const 2400))
  (i32.store (i32.const 2336) (i32.const 1))
  (i32.const 2304))

(data $texts (i32.const 1024) "example 1.0.0 outside tier gold sub admin x \ff\fe")

;; name, version, doc, settings, reads, codes, claims: a pointer and a length each.
(data $descriptor (i32.const 2048)
  "\00\04\00\00\07\00\00\00" "\08\04\00\00\05\00\00\00" "\00\00\00\00\00\00\00\00"
  "\00\00\00\00\00\00\00\00" "\00\00\00\00\00\00\00\00" "\80\08\00\00\01\00\00\00"
  "\88\08\00\00\01\00\00\00")

;; 2176: the codes: `outside`. 2184: the claims: `tier`.
(data $lists (i32.const 2176) "\0e\04\00\00\07\00\00\00" "\16\04\00\00\04\00\00\00")

;; 2400: one claim: its name, then a value: `text`, padding, pointer and length.
(data $claim (i32.const 2400)
  "\16\04\00\00\04\00\00\00" "\02\00\00\00\00\00\00\00" "\1b\04\00\00\04\00\00\00")
