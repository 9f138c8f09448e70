#pragma once
#include "role/role.h"
#include "vault/vault.h"

/* The vault's answers about DKIM keys; part of role_vault.c. */
ipc_handler vault_on_dkim_keys, vault_on_dkim_list, vault_on_dkim_turn, vault_on_dkim_sign;
struct vault *vault_of(void *env);
