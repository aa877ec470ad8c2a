/** The processes that make up `amt up`, from the configuration: how each is started and where it says that it serves. */
import { extname, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { socketPathOf } from '../../config/admin-schema.ts'
import type { Config, TenantConfig } from '../../config/schema.ts'
import { packageRoot } from '../package-root.ts'
import { addressOf, formatAddress, mixerAddress, type WantedAddress } from './addresses.ts'
import type { ChildOptions } from './child.ts'

const STOP_MS = 10_000
const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/

export interface PartsOptions {
  readonly config: Config
  readonly configPath: string
  readonly stateDir: string
  /** Whether the sample application runs for each tenant whose deployment is on this machine. */
  readonly samples: boolean
  readonly workers?: number
}

export interface Parts {
  readonly deployments: readonly ChildOptions[]
  readonly mixer: ChildOptions
  readonly proxy: ChildOptions
  /** What the deployments bind. */
  readonly addresses: readonly WantedAddress[]
}

export function planParts(options: PartsOptions): Parts {
  const { config, configPath, stateDir, samples, workers } = options
  const count = workers === undefined ? [] : ['--workers', String(workers)]
  const common = {
    cwd: process.cwd(),
    env: { ...process.env, AMT_STATE: stateDir },
  }
  const mixer = mixerAddress(config)
  const addresses = samples ? config.tenants.flatMap(sampleAddress) : []
  return {
    addresses: addresses.map(({ address }) => address),
    deployments: addresses.map(({ tenant, address }) => ({
      ...common,
      name: `notes-${tenant}`,
      args: nodeArgs(packageRoot('examples', 'notes', 'server.js')),
      env: {
        ...process.env,
        HOST: address.host,
        PORT: String(address.port),
        DATA_DIR: join(stateDir, 'notes', tenant),
      },
      log: join(stateDir, 'logs', `notes-${tenant}.log`),
      readyUrl: `http://${formatAddress(address)}/healthz`,
      stopMs: STOP_MS,
    })),
    mixer: {
      ...common,
      name: 'mixer',
      args: nodeArgs(...ownProgram(), 'mixer', '--config', configPath),
      log: join(stateDir, 'logs', 'mixer.log'),
      readyUrl: `${config.mixer.tls ? 'https' : 'http'}://${formatAddress(mixer)}/readyz`,
      stopMs: STOP_MS,
    },
    proxy: {
      ...common,
      name: 'proxy',
      args: nodeArgs(...ownProgram(), 'proxy', '--config', configPath, ...count),
      log: join(stateDir, 'logs', 'proxy.log'),
      ...readyAtAdmin(config.admin.address),
      stopMs: drainMs(config) + STOP_MS,
    },
  }
}

/** The longest that the proxy may take to end in good order. */
function drainMs({ timeouts, drain }: Config): number {
  return drain.grace + Math.max(timeouts.drain, drain.tunnels ?? 0)
}

function readyAtAdmin(address: string): Pick<ChildOptions, 'readyUrl' | 'readySocket'> {
  const readySocket = socketPathOf(address)
  if (readySocket !== undefined) return { readyUrl: 'http://localhost/readyz', readySocket }
  return { readyUrl: `http://${formatAddress(addressOf('admin server', address))}/readyz` }
}

/** The sample application serves a tenant whose first endpoint is plain HTTP on this machine. */
function sampleAddress({
  id,
  deployment,
}: TenantConfig): { tenant: string; address: WantedAddress }[] {
  const endpoint = new URL(deployment.endpoints[0] ?? 'none:')
  if (endpoint.protocol !== 'http:') return []
  const address = addressOf(`deployment of tenant ${id}`, endpoint.host)
  return LOOPBACK.test(address.host) ? [{ tenant: id, address }] : []
}

function nodeArgs(...rest: string[]): string[] {
  const guard = pathToFileURL(join(import.meta.dirname, `exit-with-parent${ownExtension()}`)).href
  return ['--disable-warning=ExperimentalWarning', '--expose-gc', '--import', guard, ...rest]
}

function ownProgram(): string[] {
  return [join(import.meta.dirname, '..', `main${ownExtension()}`)]
}

/** `.ts` in a checkout, `.js` in the package. */
function ownExtension(): string {
  return extname(import.meta.filename)
}
