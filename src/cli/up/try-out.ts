/** The commands that `amt up` prints: each works as it stands when pasted into a shell in the current directory. */
import { existsSync } from 'node:fs'
import { isAbsolute, join, relative } from 'node:path'
import type { Config, ListenerConfig, TenantConfig } from '../../config/schema.ts'
import { packageRoot } from '../package-root.ts'
import { addressOf, formatAddress } from './addresses.ts'

export interface TryOut {
  /** What the command shows. */
  readonly title: string
  readonly command: string
}

export interface TryOutOptions {
  readonly config: Config
  readonly stateDir: string
  readonly cwd: string
  /** Whether config.example.yaml and the folder `state` are used, which `amt usage` finds by itself. */
  readonly plainStart: boolean
}

/** Commands for all ways in that this configuration has and the state folder holds something for. */
export function tryOuts(options: TryOutOptions): TryOut[] {
  const { config, stateDir, cwd } = options
  const file = (name: string): string => shellWord(shownPath(cwd, join(stateDir, name)))
  const known = config.tenants.filter(({ id }) => existsSync(join(stateDir, `${id}.apikey`)))
  const first = known[0]
  const second = known[1] ?? first
  const usage = {
    title: 'usage: what each has used, from the ledger',
    command: usageCommandLine(options),
  }
  if (!first || !second) return [usage]
  const shared = sharedListener(config)
  const found = [
    ...(shared ? credentialTryOuts(shared, { first, second, file }) : []),
    ...privateTryOuts(config, first),
    ...(shared ? [refusal(shared, file)] : []),
  ]
  return [...found, usage]
}

type SharedListener = Extract<ListenerConfig, { mode: 'shared' }>
type FileName = (name: string) => string

interface Visitors {
  readonly first: TenantConfig
  readonly second: TenantConfig
  readonly file: FileName
}

function credentialTryOuts(listener: SharedListener, { first, second, file }: Visitors): TryOut[] {
  const call = curl(listener, file)
  const tryOutList = [
    {
      title: `JWT: somebody at ${first.id} makes a note`,
      command: `${call} -H "authorization: Bearer $(cat ${file(`${first.id}.jwt`)})" -d 'text=Hello from ${first.id}' ${notesUrl(listener)}`,
    },
    {
      title: `API key: a program of ${first.id} reads it`,
      command: `${call} -H "x-api-key: $(cat ${file(`${first.id}.apikey`)})" ${notesUrl(listener)}`,
    },
  ]
  if (!listener.tls || listener.tls.clientCertificate === 'off') return tryOutList
  const pair = `--cert ${file(`${second.id}.crt`)} --key ${file(`${second.id}.key`)}`
  const title = `client certificate: ${second.id} sees its own notes only`
  return [...tryOutList, { title, command: `${call} ${pair} ${notesUrl(listener)}` }]
}

function privateTryOuts(config: Config, tenant: TenantConfig): TryOut[] {
  const listener = config.listeners.find(({ mode, tls }) => mode === 'private' && !tls)
  if (listener?.mode !== 'private' || tenant.address === undefined) return []
  const address = formatAddress({ host: tenant.address, port: listener.port })
  const title = `private address: all that comes to it is ${tenant.id}'s (for a browser: http://${address}/)`
  return [{ title, command: `curl -sS http://${address}/notes` }]
}

function refusal(listener: SharedListener, file: FileName): TryOut {
  const title = 'unroutable: without a credential it is refused with 401'
  return { title, command: `${curl(listener, file)} -i ${notesUrl(listener)}` }
}

/** The first one with TLS, or else the first one. */
function sharedListener({ listeners }: Config): SharedListener | undefined {
  const shared = listeners.filter(
    listener => listener.mode === 'shared' && listener.protocol !== 'tcp',
  )
  const found = shared.find(({ tls }) => tls) ?? shared[0]
  return found?.mode === 'shared' ? found : undefined
}

function curl({ tls }: SharedListener, file: FileName): string {
  return tls ? `curl -sS --cacert ${file('ca.crt')}` : 'curl -sS'
}

function notesUrl({ tls, address }: SharedListener): string {
  const { host, port } = addressOf('', address)
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `${tls ? 'https' : 'http'}://${formatAddress({ host: reachable, port })}/notes`
}

function usageCommandLine({ config, stateDir, cwd, plainStart }: TryOutOptions): string {
  const program = installedCommand(cwd) ?? shellWord(shownPath(cwd, packageRoot('bin', 'amt')))
  if (plainStart && packageRoot() === cwd) return `${program} usage`
  const token = shellWord(shownPath(cwd, join(stateDir, 'mixer.token')))
  return `AMT_MIXER_URL=${shellWord(config.mixer.url)} AMT_MIXER_TOKEN=$(cat ${token}) ${program} usage`
}

/** Where the package was installed into the current directory, `npx` is what people type. */
function installedCommand(cwd: string): string | undefined {
  const installed = relative(cwd, packageRoot()).startsWith('node_modules')
  return installed && existsSync(join(cwd, 'node_modules', '.bin', 'amt')) ? 'npx amt' : undefined
}

/** Relative where that is shorter to read: inside the current directory. */
export function shownPath(cwd: string, path: string): string {
  const inside = relative(cwd, path)
  return inside === '' || inside.startsWith('..') || isAbsolute(inside) ? path : inside
}

/** `text` as one word of a POSIX shell. */
export function shellWord(text: string): string {
  return /^[A-Za-z0-9_./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
