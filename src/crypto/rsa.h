#pragma once
#include "base/buf.h"
#include "base/why.h"

/* A fresh RSA-2048 pair for DKIM: the private half as PEM (what tls_key_load() takes; `out_private_pem` is the caller's to wipe), the public half as
 * SubjectPublicKeyInfo DER. Takes a tenth of a second or more: a worker's work. */
MUST_USE enum rc rsa_pair(struct buf *out_private_pem, struct buf *out_public_der);
