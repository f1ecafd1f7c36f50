;; Exports `_initialize`, which component tooling would run before anything is asked: refused.
(export "_initialize" (func $begin))

(func $begin)
