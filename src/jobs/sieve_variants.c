/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs/sieve_bits.h"

size_t ff_sieve_bits_variants(const struct ff_sieve_bits *variants[FF_SIEVE_VARIANTS_MAX])
{
    size_t count = 0;

#if defined(__x86_64__)
    /* The very instructions that meson.build lets the compiler use. */
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("bmi2")) {
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vbmi") &&
            __builtin_cpu_supports("avx512vbmi2"))
            variants[count++] = &ff_sieve_bits_avx512;
        variants[count++] = &ff_sieve_bits_avx2;
    }
#endif
    variants[count++] = &ff_sieve_bits_generic;
    return count;
}
