/** Addresses as they stand in the configuration and in `Host` fields. */

/** `127.0.0.1:9901`, `[::1]:9901` → its parts; the form is already checked by the configuration. */
export function splitAddress(address: string): { readonly host: string; readonly port: number } {
  const colon = address.lastIndexOf(':')
  return { host: unbracket(address.slice(0, colon)), port: Number(address.slice(colon + 1)) }
}

/** The name in a `Host` field, lower case, without port, brackets and the dot of the root. */
export function hostName(field: string): string {
  const withoutPort = field.replace(/:\d*$/, '')
  return unbracket(withoutPort).toLowerCase().replace(/\.$/, '')
}

function unbracket(host: string): string {
  return host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host
}
