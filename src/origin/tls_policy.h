#pragma once
#include "origin/dane.h"
#include "origin/mta_sts.h"

/* What is asked of the connection to one mail server, from all that has a say: DANE (RFC 7672), MTA-STS (RFC 8461), the directory's way out for the destination, REQUIRETLS
 * and "TLS-Required: No" (RFC 8689). Pure; one call per MX host. In the order of their weight:
 *
 *   the directory says "never"           no TLS at all, whatever is published; a letter that requires TLS is not sent
 *   "TLS-Required: No"                   what the receiver publishes does not stop the letter (failures are still noted); what the directory and REQUIRETLS ask for does
 *   DANE, usable                         TLS, and the certificate matches a TLSA record; beats MTA-STS where the MX record was signed. Where it was not, MTA-STS in force
 *                                        must name the host as well: else a forged MX record would lead to a host that has sound TLSA records of its own
 *   DANE, no answer                      not this host, not now
 *   MTA-STS enforce                      the host is named by the policy, TLS, and a certificate for the host that a root vouches for
 *   DANE, unusable records only          TLS, any certificate
 *   MTA-STS testing                      as below; what enforce would have refused is noted
 *   nothing                              TLS is tried, any certificate; clear text when it cannot be had
 *
 * The directory's "verified" and the letter's REQUIRETLS ask for a verified certificate by DANE or by a root; "encrypted" for TLS. REQUIRETLS also for a host that is
 * known to be the destination's: given, by a signed MX record, or by MTA-STS. While the domain's MTA-STS policy cannot be had, that is not known yet: the letter waits. */
enum tls_directory { TLS_DIRECTORY_DEFAULT, TLS_DIRECTORY_VERIFIED, TLS_DIRECTORY_ENCRYPTED, TLS_DIRECTORY_NONE, TLS_DIRECTORY_COUNT }; /* in the order of enum route_tls */
enum tls_verify { TLS_VERIFY_NOT, TLS_VERIFY_PKIX, TLS_VERIFY_DANE };
enum tls_policy_type { TLS_POLICY_NONE, TLS_POLICY_STS, TLS_POLICY_TLSA }; /* TLS_RESULT's numbers: no-policy-found, sts, tlsa */

struct tls_policy_in {
	struct str next_hop;           /* the recipient's domain; a smarthost's name */
	struct str mx_host;
	bool mx_secure;                /* the MX answer was secure (or its denial, for an implicit MX) */
	bool given;                    /* the host stands in our own directory (a smarthost): nobody else can have put it there */
	const struct dane_host *dane;  /* NULL: not looked up */
	const struct mta_sts_policy *sts; /* NULL: none */
	bool sts_later;                /* `sts` is what is known without an answer of the DNS or the web server: it may be another next time */
	enum tls_directory directory;
	bool login;                    /* a password is said there: without a word of the directory's about TLS, the certificate is verified first */
	bool require_tls, tls_optional;/* of the letter; require_tls wins (RFC 8689 4.1) */
};
struct tls_policy_out {
	bool allowed;                  /* false: this host is not used for this letter; `words` say why */
	bool later;                    /* ... and may be next time: an answer of the DNS is missing, or of the web server that has the domain's MTA-STS policy */
	bool try_tls;                  /* say STARTTLS when it is offered */
	bool need_tls;                 /* false: clear text will do when TLS is not offered or breaks */
	enum tls_verify verify;
	struct str names[3]; size_t name_n;       /* reference identifiers, for PKIX, DANE, and for noting */
	struct str sni;
	const struct dns_record *tlsa; size_t n;  /* with TLS_VERIFY_DANE */
	bool need_requiretls;          /* the server must offer REQUIRETLS, and MAIL says it */
	bool note;                     /* the policy below is not in force (testing mode, or "TLS-Required: No"): a certificate that fails `names` or `tlsa` is a failure
	                                  to report all the same; the mail goes */
	enum tls_policy_type type; struct str *policy; size_t policy_n; /* for TLS-RPT (RFC 8460 4.4): what was published */
	const char *result;            /* RFC 8460 4.3's result type of a failure that is plain before any connection; "" = none */
	struct str words;              /* for people: "DANE: 2 TLSA records at ...", at most 511 octets */
};
/* Texts in memory of `a`, the rest borrowed from `in`. */
void tls_policy(const struct tls_policy_in *in, struct arena *a, struct tls_policy_out *out);
