const DEFAULT_PORTS = { 'http:': 80, 'https:': 443 }

/** Where the mixer listens. */
export interface HostPort {
  readonly host: string
  readonly port: number
}

/**
 * `mixer.listen`, or the address in `mixer.url`. Without `mixer.tls` an https URL names something in front of the mixer and
 * says nothing of its own address: then, and for a port that is none, the answer is undefined.
 */
export function listenAddress({
  url,
  listen,
  tls,
}: {
  url: string
  listen?: string | undefined
  tls?: object | undefined
}): HostPort | undefined {
  const parsed = URL.parse(listen === undefined ? url : `http://${listen}`)
  if (parsed?.protocol !== 'http:' && !(parsed?.protocol === 'https:' && tls)) return undefined
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: parsed.port === '' ? DEFAULT_PORTS[parsed.protocol] : Number(parsed.port),
  }
}

export function formatAddress({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
