/** Where the mixer listens. */
export interface HostPort {
  readonly host: string
  readonly port: number
}

/**
 * `mixer.listen`, or the address in `mixer.url`. The mixer speaks plain HTTP, so an https URL names something in front of
 * it and says nothing of its own address: then, and for a port that is none, the answer is undefined.
 */
export function listenAddress({
  url,
  listen,
}: {
  url: string
  listen?: string | undefined
}): HostPort | undefined {
  const parsed = URL.parse(listen === undefined ? url : `http://${listen}`)
  if (parsed?.protocol !== 'http:') return undefined
  return {
    host: parsed.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: parsed.port === '' ? 80 : Number(parsed.port),
  }
}

export function formatAddress({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
