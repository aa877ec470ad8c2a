/** Whether the addresses that the parts want are free: said before anything starts, with the name of the thing. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { socketPathOf } from '../../config/admin-schema.ts'
import type { Config, TenantConfig } from '../../config/schema.ts'
import { describeListenError } from '../../runtime/node-errors.ts'

export interface WantedAddress {
  /** What is to listen there, such as `listener "public"`. */
  readonly what: string
  readonly host: string
  readonly port: number
}

/** Everything that proxy, mixer and the given sample deployments bind. */
export function wantedAddresses(
  config: Config,
  deployments: readonly WantedAddress[],
): WantedAddress[] {
  return [
    ...config.listeners.flatMap(listener =>
      listener.mode === 'shared'
        ? [addressOf(`listener "${listener.name}"`, listener.address)]
        : privateAddresses(listener, config.tenants),
    ),
    // A socket that is left behind is no hindrance; one with somebody behind it is found by the proxy.
    ...(socketPathOf(config.admin.address) === undefined
      ? [addressOf('admin server', config.admin.address)]
      : []),
    mixerAddress(config),
    ...deployments,
  ]
}

/** One sentence for each address that cannot be bound. */
export async function findTakenAddresses(wanted: readonly WantedAddress[]): Promise<string[]> {
  const problems: string[] = []
  for (const address of wanted) {
    const problem = await tryAddress(address) // one by one: thousands of tenants need no thousands of descriptors
    if (problem !== undefined) problems.push(problem)
  }
  return problems
}

/** Where the mixer listens. */
export function mixerAddress({ mixer }: Config): WantedAddress {
  const { protocol, host, port } = new URL(mixer.url)
  const ofUrl = protocol === 'https:' && port === '' ? `${host}:443` : host
  return addressOf('mixer', mixer.listen ?? ofUrl)
}

/** `HOST:PORT`, an IPv6 address in brackets. Without a port that of http. */
export function addressOf(what: string, hostPort: string): WantedAddress {
  const { hostname, port } = new URL(`http://${hostPort}`)
  return { what, host: hostname.replaceAll(/[[\]]/g, ''), port: Number(port || 80) }
}

/** As `HOST:PORT` again. */
export function formatAddress({ host, port }: Pick<WantedAddress, 'host' | 'port'>): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function privateAddresses(
  listener: { name: string; port: number; bind: 'each' | 'wildcard' },
  tenants: readonly TenantConfig[],
): WantedAddress[] {
  const { port } = listener
  if (listener.bind === 'wildcard')
    return [{ what: `listener "${listener.name}"`, host: '0.0.0.0', port }]
  return tenants.flatMap(({ id, address }) =>
    address === undefined
      ? []
      : [{ what: `listener "${listener.name}" of tenant ${id}`, host: address, port }],
  )
}

async function tryAddress({ what, host, port }: WantedAddress): Promise<string | undefined> {
  const server = createServer()
  try {
    server.listen({ host, port, exclusive: true })
    await once(server, 'listening')
    return undefined
  } catch (error) {
    return describeListenError(error, `${what}: ${formatAddress({ host, port })}`)
  } finally {
    server.close()
  }
}
