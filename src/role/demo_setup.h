#pragma once
#include "base/why.h"

/* What `letterlock demo` needs from crypto: a CA of its own (ca.pem, ca.key) and a certificate for loopback (cert.pem, cert.key) in `dir`.
 * Kept when they are there; the certificate is made anew when it is older than 60 of its 90 days. */
MUST_USE enum rc demo_certificates(const char *dir, const char *names, struct why *why);
