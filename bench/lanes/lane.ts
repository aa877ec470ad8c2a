/** One kind of work that every peer is given in the same way. */
export interface Lane {
  readonly name: string
  /** One line for `--list` and the table. */
  readonly title: string
  /** What tells the tenant of a call; each call carries the next tenant's. */
  readonly credential: 'api-key' | 'jwt'
  /** TLS with a P-256 certificate downstream; upstream is always cleartext. */
  readonly tls: boolean
  readonly tenants: number
  /** Downstream connections, kept alive for the whole round. */
  readonly connections: number
  /** What the ratio peer/AMT of CPU a call must reach, by peer; 1 is "as cheap". */
  readonly atLeast: Readonly<Record<string, number>>
}
