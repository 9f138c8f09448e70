#include "crypto/tls.h"
#include "crypto/tls_client.h"

/* Certificate chains and private keys as an administrator's file may hold them. */
static enum rc sign(void *house, uint64_t id, enum tls_scheme scheme, struct str digest, struct buf *out) { return RC_DENIED; }

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct tls_server *t;
	struct why why = { 0 };
	struct str in = { (const char *)p, n };
	struct tls_key *k = NULL;
	struct buf out;
	buf_init(&out, 16384);
	if (!t && tls_server_new(&(struct tls_key_hook){ NULL, sign }, &t, &why) != RC_OK)
		abort();
	if (tls_server_chain(t, 1, in, &why) == RC_OK)
		tls_server_clear(t);
	struct str digest = STR("0123456789abcdef0123456789abcdef");
	if (tls_key_load(in, &k, &why) == RC_OK && tls_key_sign_with(k, TLS_ECDSA, digest, &out) != RC_OK &&
	    tls_key_sign_with(k, TLS_RSA_PSS_SHA256, digest, &out) != RC_OK)
		abort();
	tls_key_free(&k);
	(void)!tls_roots_check(in, &why);
	(void)!tls_key_fits(in, in, &why);
	tls_server_tickets(t, str_head(in, 200));
	buf_done(&out);
	return 0;
}
