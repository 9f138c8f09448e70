#pragma once
#include "base/str.h"

/* Addresses as octets (4 or 16) and text; the kernel's functions are not for a pure folder. */
bool ip4_parse(struct str text, uint8_t out[4]);   /* dotted quad, no leading zeros, nothing around it */
bool ip6_parse(struct str text, uint8_t out[16]);  /* RFC 4291 2.2, an IPv4 tail included */
enum { IP_TEXT_MAX = 46 };
struct str ip_format(struct str ip, char out[IP_TEXT_MAX]); /* RFC 5952; "" when it is neither 4 nor 16 octets */
struct str ip_unmapped(struct str ip);             /* the last 4 octets of ::ffff:0:0/96, else as it is */
bool ip_in_net(struct str ip, const uint8_t *net, unsigned bits); /* bits is at most the length of ip */
