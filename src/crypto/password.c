#include "crypto/crypto.h"

#include "base/mem.h"
#include <argon2.h>
#include <limits.h>

/* OWASP's and RFC 9106's smaller recommendation in spirit: 19 MiB, two passes, one lane. */
const struct argon2_cost argon2_default = { 19 * 1024, 2, 1 };

static int take(uint8_t **p, size_t n)
{
	*p = mem_huge(n);
	return *p ? ARGON2_OK : ARGON2_MEMORY_ALLOCATION_ERROR;
}

static void give(uint8_t *p, size_t n) { mem_huge_free(p, n); } /* the library has wiped it */

enum rc argon2id_keyed(struct str password, struct str salt, struct str pepper, struct str data, struct argon2_cost cost,
                       struct secret *out)
{
	if (password.n > UINT32_MAX || salt.n > UINT32_MAX || pepper.n > UINT32_MAX || data.n > UINT32_MAX)
		return RC_LIMIT;
	argon2_context c = {
		.out = out->k, .outlen = KEY_LEN,
		.pwd = (uint8_t *)(uintptr_t)password.p, .pwdlen = (uint32_t)password.n,
		.salt = (uint8_t *)(uintptr_t)salt.p, .saltlen = (uint32_t)salt.n,
		.secret = pepper.n ? (uint8_t *)(uintptr_t)pepper.p : NULL, .secretlen = (uint32_t)pepper.n,
		.ad = data.n ? (uint8_t *)(uintptr_t)data.p : NULL, .adlen = (uint32_t)data.n,
		.t_cost = cost.passes, .m_cost = cost.memory_kib, .lanes = cost.lanes,
		.threads = 1, /* the caller is a worker already; no thread is started here */
		.version = ARGON2_VERSION_13, .allocate_cbk = take, .free_cbk = give,
		.flags = ARGON2_DEFAULT_FLAGS, /* the caller's password stays as it is: it is only borrowed */
	};
	int e = argon2_ctx(&c, Argon2_id);
	return e == ARGON2_OK ? RC_OK : e == ARGON2_MEMORY_ALLOCATION_ERROR ? RC_NOMEM : RC_LIMIT;
}

enum rc argon2id(struct str password, struct str salt, struct argon2_cost cost, struct secret *out)
{
	return argon2id_keyed(password, salt, STR(""), STR(""), cost, out);
}
