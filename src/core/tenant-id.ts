/** A tenant's id is also a label, a path segment and a part of its API keys; so its alphabet is narrow. */
export const TENANT_ID_PATTERN: RegExp = /^[a-z0-9-]{1,63}$/

export const TENANT_ID_HINT = '1 to 63 of a-z, 0-9 and "-"'
