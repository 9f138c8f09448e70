#include "crypto/tls_internal.h"

#include "base/mem.h"
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int slot = -1;
static void make_slot(void) { slot = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL); }

void tls_tickets_set(struct tls_tickets *t, struct str keys)
{
	mem_wipe(t, sizeof *t);
	for (; keys.n >= TICKET_KEY_LEN && t->n < TICKETS_MAX; keys = str_skip(keys, TICKET_KEY_LEN)) {
		struct ticket_key *k = &t->key[t->n];
		struct str name = str_head(keys, 16), ikm = str_head(str_skip(keys, 16), 32);
		memcpy(k->name, name.p, 16);
		if (hkdf(ikm, name, STR("tls ticket aes"), &k->aes) != RC_OK || hkdf(ikm, name, STR("tls ticket mac"), &k->mac) != RC_OK)
			return; /* without tickets, TLS goes on */
		t->n++;
	}
}

static bool arm(const struct ticket_key *k, const uint8_t iv[16], EVP_CIPHER_CTX *c, EVP_MAC_CTX *m, int sealing)
{
	char digest[] = "SHA256";
	uint8_t mac[KEY_LEN];
	memcpy(mac, k->mac.k, KEY_LEN);
	OSSL_PARAM p[] = { OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac, KEY_LEN),
		           OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end() };
	bool ok = EVP_CipherInit_ex(c, EVP_aes_256_cbc(), NULL, k->aes.k, iv, sealing) == 1 && EVP_MAC_CTX_set_params(m, p) == 1;
	mem_wipe(mac, sizeof mac);
	return ok;
}

/* RFC 5077 4: key name, IV, encrypted state, MAC. 1 = use it, 2 = use it and send a fresh ticket, 0 = no ticket, < 0 = failure. */
static int on_ticket(SSL *ssl, unsigned char name[16], unsigned char iv[EVP_MAX_IV_LENGTH], EVP_CIPHER_CTX *c, EVP_MAC_CTX *m, int sealing)
{
	struct tls_tickets *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), slot);
	if (!t || t->n == 0)
		return 0;
	if (sealing) {
		if (random_bytes(iv, 16) != RC_OK)
			return -1;
		memcpy(name, t->key[0].name, 16);
		return arm(&t->key[0], iv, c, m, 1) ? 1 : -1;
	}
	for (size_t i = 0; i < t->n; i++)
		if (ct_eq(t->key[i].name, name, 16))
			return !arm(&t->key[i], iv, c, m, 0) ? -1 : i == 0 ? 1 : 2;
	return 0;
}

bool tls_tickets_attach(SSL_CTX *c, struct tls_tickets *t)
{
	pthread_once(&once, make_slot);
	return slot >= 0 && SSL_CTX_set_ex_data(c, slot, t) == 1 && SSL_CTX_set_tlsext_ticket_key_evp_cb(c, on_ticket) == 1;
}
