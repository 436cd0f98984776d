;; Passes over a vocabulary's logits, four at a time, which JavaScript can only take one by one. logits-scan.ts says what
;; each is for; `npm run build:wasm` puts them into logits-scan-wasm.ts. Nothing here depends on the processor:
;; WebAssembly's arithmetic is IEEE 754's.
;;
;; Memory: logits from 0 on, one f32 a token, filled up with -inf to a multiple of four; `end` is where they stop, in bytes.
;; A bound (value, tokenId) leaves the tokens before it: those with a greater value, or its value and a lower id.
(module
  (import "env" "memory" (memory 1))
  ;; Told a token id that may be among the two greatest; returns what others must exceed.
  (import "env" "consider" (func $consider (param i32) (result f32)))

  (func (export "greatest") (param $end i32) (result f32)
    (local $at i32) (local $most v128)
    (local.set $most (f32x4.splat (f32.const -inf)))
    (loop $next
      (local.set $most (f32x4.pmax (local.get $most) (v128.load (local.get $at))))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
    (f32.max
      (f32.max (f32x4.extract_lane 0 (local.get $most)) (f32x4.extract_lane 1 (local.get $most)))
      (f32.max (f32x4.extract_lane 2 (local.get $most)) (f32x4.extract_lane 3 (local.get $most)))))

  ;; How many values exceed this one.
  (func (export "count") (param $end i32) (param $value f32) (result i32)
    (local $at i32) (local $sum v128) (local $least v128)
    (local.set $least (f32x4.splat (local.get $value)))
    (loop $next
      ;; A lane that holds is -1.
      (local.set $sum
        (i32x4.sub (local.get $sum) (f32x4.gt (v128.load (local.get $at)) (local.get $least))))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
    (i32.add
      (i32.add (i32x4.extract_lane 0 (local.get $sum)) (i32x4.extract_lane 1 (local.get $sum)))
      (i32.add (i32x4.extract_lane 2 (local.get $sum)) (i32x4.extract_lane 3 (local.get $sum)))))

  ;; The sum of 2^((logit - greatest) * scale) over the tokens before the bound, to a millionth.
  (func (export "mass")
    (param $end i32) (param $scale f32) (param $greatest f32) (param $value f32) (param $tokenId i32) (result f64)
    (local $at i32) (local $logit v128) (local $x v128) (local $shifted v128) (local $power v128) (local $sum v128)
    (local $scales v128) (local $greatests v128) (local $values v128) (local $bounds v128) (local $ids v128)
    (local.set $scales (f32x4.splat (local.get $scale)))
    (local.set $greatests (f32x4.splat (local.get $greatest)))
    (local.set $values (f32x4.splat (local.get $value)))
    (local.set $bounds (i32x4.splat (local.get $tokenId)))
    (local.set $ids (v128.const i32x4 0 1 2 3))
    (loop $next
      (local.set $logit (v128.load (local.get $at)))
      ;; What lies below the least normal number of f32 counts as that.
      (local.set $x (f32x4.pmax
        (f32x4.mul (f32x4.sub (local.get $logit) (local.get $greatests)) (local.get $scales))
        (f32x4.splat (f32.const -126))))
      ;; 1.5 * 2^23 rounds to the nearest integer, which then is in the low bits; what is left lies within a half.
      (local.set $shifted (f32x4.add (local.get $x) (f32x4.splat (f32.const 0x1.8p+23))))
      (local.set $x
        (f32x4.sub (local.get $x) (f32x4.sub (local.get $shifted) (f32x4.splat (f32.const 0x1.8p+23)))))
      ;; The series of 2^x up to the sixth power, and the integer added to the exponent.
      (local.set $power (f32x4.splat (f32.const 0.0001540353039338161)))
      (local.set $power
        (f32x4.add (f32x4.mul (local.get $power) (local.get $x)) (f32x4.splat (f32.const 0.0013333558146428443))))
      (local.set $power
        (f32x4.add (f32x4.mul (local.get $power) (local.get $x)) (f32x4.splat (f32.const 0.009618129107628477))))
      (local.set $power
        (f32x4.add (f32x4.mul (local.get $power) (local.get $x)) (f32x4.splat (f32.const 0.05550410866482158))))
      (local.set $power
        (f32x4.add (f32x4.mul (local.get $power) (local.get $x)) (f32x4.splat (f32.const 0.2402265069591007))))
      (local.set $power
        (f32x4.add (f32x4.mul (local.get $power) (local.get $x)) (f32x4.splat (f32.const 0.6931471805599453))))
      (local.set $power
        (f32x4.add (f32x4.mul (local.get $power) (local.get $x)) (f32x4.splat (f32.const 1))))
      (local.set $power (i32x4.add (local.get $power) (i32x4.shl (local.get $shifted) (i32.const 23))))
      (local.set $power (v128.and (local.get $power) (v128.or
        (f32x4.gt (local.get $logit) (local.get $values))
        (v128.and
          (f32x4.eq (local.get $logit) (local.get $values))
          (i32x4.lt_s (local.get $ids) (local.get $bounds))))))
      (local.set $sum (f64x2.add (local.get $sum) (f64x2.add
        (f64x2.promote_low_f32x4 (local.get $power))
        (f64x2.promote_low_f32x4
          (i8x16.shuffle 8 9 10 11 12 13 14 15 8 9 10 11 12 13 14 15 (local.get $power) (local.get $power))))))
      (local.set $ids (i32x4.add (local.get $ids) (i32x4.splat (i32.const 4))))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
    (f64.add (f64x2.extract_lane 0 (local.get $sum)) (f64x2.extract_lane 1 (local.get $sum))))

  ;; Tells `consider` the tokens before the bound of which logit and noise, in bits, may exceed what it returned last. `keys`: where
  ;; the tokens' halves of the hash begin. With bits of noise b, u = (b + 0.5) / 2^32 and w = ~b, the noise -log(-log(u)) is
  ;; at most -log(1 - u) <= 32 ln 2 - log(w), and the bits of a float are at most its logarithm: 158 less those of w / 2.
  (func (export "screen")
    (param $end i32) (param $keys i32) (param $key i32) (param $scale f32) (param $value f32) (param $tokenId i32)
    (local $at i32) (local $mask i32) (local $x v128) (local $logit v128) (local $least v128)
    (local $scales v128) (local $hashKeys v128) (local $values v128) (local $bounds v128)
    (local.set $scales (f32x4.splat (local.get $scale)))
    (local.set $hashKeys (i32x4.splat (local.get $key)))
    (local.set $values (f32x4.splat (local.get $value)))
    (local.set $bounds (i32x4.splat (local.get $tokenId)))
    (local.set $least (f32x4.splat (f32.const -inf)))
    (loop $next
      ;; random.ts has the same mixer.
      (local.set $x
        (v128.xor (local.get $hashKeys) (v128.load (i32.add (local.get $keys) (local.get $at)))))
      (local.set $x (i32x4.mul
        (v128.xor (local.get $x) (i32x4.shr_u (local.get $x) (i32.const 16)))
        (i32x4.splat (i32.const 0x7feb352d))))
      (local.set $x (i32x4.mul
        (v128.xor (local.get $x) (i32x4.shr_u (local.get $x) (i32.const 15)))
        (i32x4.splat (i32.const 0x846ca68b))))
      (local.set $x (v128.not (v128.xor (local.get $x) (i32x4.shr_u (local.get $x) (i32.const 16)))))
      (local.set $x (f32x4.mul
        (f32x4.convert_i32x4_s (f32x4.convert_i32x4_s (i32x4.shr_u (local.get $x) (i32.const 1))))
        (f32x4.splat (f32.const 0x1p-23))))
      (local.set $logit (v128.load (local.get $at)))
      (local.set $mask (i32x4.bitmask (f32x4.gt
        (f32x4.sub (f32x4.mul (local.get $logit) (local.get $scales)) (local.get $x))
        (local.get $least))))
      ;; Few get so far.
      (if (local.get $mask) (then
        (local.set $mask (i32.and (local.get $mask) (i32x4.bitmask (v128.or
          (f32x4.gt (local.get $logit) (local.get $values))
          (v128.and
            (f32x4.eq (local.get $logit) (local.get $values))
            (i32x4.lt_s
              (i32x4.add (i32x4.splat (i32.shr_u (local.get $at) (i32.const 2))) (v128.const i32x4 0 1 2 3))
              (local.get $bounds)))))))))
      (if (local.get $mask) (then
        (local.set $least (call $all (local.get $at) (local.get $mask)))))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end)))))

  ;; As `screen`, without noise: the logits that exceed what `consider` returned last.
  (func (export "lead") (param $end i32)
    (local $at i32) (local $mask i32) (local $least v128)
    (local.set $least (f32x4.splat (f32.const -inf)))
    (loop $next
      (local.set $mask (i32x4.bitmask (f32x4.gt (v128.load (local.get $at)) (local.get $least))))
      (if (local.get $mask) (then
        (local.set $least (call $all (local.get $at) (local.get $mask)))))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end)))))

  ;; Tells `consider` the four tokens from $at on that are in the mask, at least one; returns what it returned last.
  (func $all (param $at i32) (param $mask i32) (result v128)
    (local $least f32)
    (loop $lanes
      (local.set $least (call $consider
        (i32.add (i32.shr_u (local.get $at) (i32.const 2)) (i32.ctz (local.get $mask)))))
      (br_if $lanes
        (local.tee $mask
          (i32.and (local.get $mask) (i32.sub (local.get $mask) (i32.const 1))))))
    (f32x4.splat (local.get $least))))
