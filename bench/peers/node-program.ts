/** Proxies that are a Node program of this folder: they get their settings in a file, and do the rest themselves. */
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { PROXY_CPU, Program } from '../harness/program.ts'
import type { WorkTenant } from '../harness/work.ts'
import type { Lane } from '../lanes/lane.ts'
import type { Peer, PeerSetup, RunningPeer } from './peer.ts'

/** The one argument of such a program is a file with this as JSON. */
export interface NodeProgramSettings {
  readonly port: number
  readonly upstream: number
  readonly tenants: readonly WorkTenant[]
  /** HTTP/2 in front, and what is spoken behind it. */
  readonly http2?: 'http2' | 'http1'
  /** PEM. */
  readonly tls?: { readonly cert: string; readonly key: string }
  /** Verify tokens with this key (PEM) instead of looking keys up. */
  readonly jwt?: { readonly issuer: string; readonly audience: string; readonly key: string }
}

export function readSettings(): NodeProgramSettings {
  return JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as NodeProgramSettings
}

const OVER_HTTP1_ALONE = 'it is compared over HTTP/1.1; node-http2 is here instead'
const NODE = `Node ${process.version.slice(1)}`

export const http2Proxy: Peer = {
  name: 'http2-proxy',
  checks: true,
  absence: ({ traffic, mutual, http2 }) => {
    if (http2) return OVER_HTTP1_ALONE
    return traffic === 'tcp' || mutual ? 'it forwards calls alone' : absenceOf('http2-proxy')
  },
  version: () => `${versionOf('http2-proxy')}, ${NODE}`,
  start: async setup => start('http2-proxy', setup),
}

export const undici: Peer = {
  name: 'undici',
  checks: true,
  absence: ({ traffic, mutual, http2 }) => {
    if (http2) return OVER_HTTP1_ALONE
    return traffic === 'tcp' || traffic === 'websocket' || mutual
      ? 'it forwards calls alone'
      : absenceOf('undici')
  },
  version: () => `${versionOf('undici')}, ${NODE}`,
  start: async setup => start('undici', setup),
}

export const nodeHttp2: Peer = {
  name: 'node-http2',
  checks: true,
  absence: ({ http2 }) => (http2 ? absenceOf('undici') : 'it is there for HTTP/2 alone'),
  version: () => NODE,
  start: async setup => start('node-http2', setup),
}

/** The floor: what Node's sockets cost on this machine without any of the work. */
export const rawSpike: Peer = {
  name: 'raw-spike',
  checks: false,
  absence: ({ traffic, credential, tls, http2 }: Lane) =>
    traffic !== 'calls' || credential !== 'api-key' || tls || http2
      ? 'it only knows small calls by API key over kept HTTP/1.1 connections without TLS'
      : undefined,
  version: () => NODE,
  start: async setup => start('raw-spike', setup),
}

async function start(
  name: string,
  { work, folder, upstream, port }: PeerSetup,
): Promise<RunningPeer> {
  const text = (path: string): string => readFileSync(path, 'utf8')
  const settings: NodeProgramSettings = {
    port,
    upstream,
    tenants: work.tenants,
    ...(work.lane.http2 && { http2: work.lane.http2.upstream }),
    ...(work.tls && { tls: { cert: text(work.tls.cert), key: text(work.tls.key) } }),
    ...(work.jwt && {
      jwt: {
        issuer: work.jwt.issuer,
        audience: work.jwt.audience,
        key: text(work.jwt.publicKeyFile),
      },
    }),
  }
  const file = join(folder, 'settings.json')
  writeFileSync(file, JSON.stringify(settings), { mode: 0o600 })
  const main = join(import.meta.dirname, `${name}.ts`)
  const program = new Program(name, PROXY_CPU, [process.execPath, main, file])
  await program.listening(port)
  return { program, stop: async () => program.stop() }
}

const require = createRequire(import.meta.url)

function versionOf(name: string): string {
  return (require(`${name}/package.json`) as { version: string }).version
}

function absenceOf(name: string): string | undefined {
  try {
    require.resolve(`${name}/package.json`)
    return undefined
  } catch {
    return `the package ${name} is not installed`
  }
}
