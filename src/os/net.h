#pragma once
#include "base/str.h"
#include "base/why.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Addresses and sockets. No name is ever resolved here. */
struct net_addr { struct sockaddr_storage sa; socklen_t len; };

/* "127.0.0.1:25", "[::1]:25", or "unix:/path". */
MUST_USE enum rc net_parse(struct str text, struct net_addr *out, struct why *why);
bool net_is_loopback(const struct net_addr *a);
void net_ip_text(const struct net_addr *a, char out[46], uint16_t *out_port); /* "" for a Unix socket */

/* Listening socket, non-blocking, close-on-exec. `reuseport` for one socket per worker. A Unix socket's stale file is
 * replaced, mode 0660. RC_BUSY: somebody listens there. RC_DENIED: not allowed to (a port below 1024). */
MUST_USE enum rc net_listen(const struct net_addr *a, bool reuseport, int backlog, int *out_fd, struct why *why);

/* A connected TCP (or Unix) socket, non-blocking, close-on-exec, to hand to stream_of_fd(). Suspends the fiber until it stands; outside a fiber it
 * blocks. `from` is the local address (its port is usually 0); NULL leaves it to the kernel. RC_LATE: `deadline` passed, or the network gave up;
 * RC_DENIED: the peer refused; RC_CLOSED: the fiber was cancelled; RC_IO: all else. `why` says in words what a person can do about it. */
struct loop;
MUST_USE enum rc net_connect(struct loop *l, const struct net_addr *to, const struct net_addr *from_or_null, int64_t deadline, int *out_fd, struct why *why);

/* "10.0.0.0/8", "2001:db8::/32" or one address. Bits set beyond the network's length are RC_SYNTAX. */
struct net_range { uint8_t addr[16]; unsigned bits; };  /* IPv4 mapped to ::ffff:0:0/96 */
MUST_USE enum rc net_range_parse(struct str text, struct net_range *out, struct why *why);
bool net_range_has(const struct net_range *r, const uint8_t addr[16]);
bool net_addr16(const char *ip, uint8_t out[16]);        /* textual IP -> 16 bytes, IPv4 mapped */
bool net_is_mapped(const uint8_t addr[16]);               /* an IPv4 address in IPv6's clothes */
/* The network a client is counted under: /24 for IPv4, /56 for IPv6. */
void net_client_network(const uint8_t addr[16], uint8_t out[16]);

/* PROXY protocol v1 or v2 (haproxy's proxy-protocol.txt) at the start of a connection. Reads exactly the header from
 * the descriptor, waiting in the fiber. RC_SYNTAX: not a PROXY header; RC_AGAIN: LOCAL or UNKNOWN (keep the socket's
 * own addresses). Nothing after the header is consumed. */
struct proxy_source { char ip[46]; uint16_t port; };
MUST_USE enum rc proxy_read(int fd, int64_t deadline, struct proxy_source *out, struct why *why);
/* The parser alone, for tests and fuzzing: how many octets the header takes, 0 = need more, -1 = not one. */
long proxy_parse(struct str in, struct proxy_source *out, bool *out_local);
