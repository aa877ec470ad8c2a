/** Where the admin server of a proxy is, and what opens it, for commands that ask it. */
import { Agent, type Dispatcher, request } from 'undici'
import { socketPathOf } from '../config/admin-schema.ts'
import { peekConfig } from '../config/config-store.ts'
import { loadConfigOrReport } from './configuration.ts'

/** Where it is by default. */
export const DEFAULT_ADMIN = 'http://127.0.0.1:9901'

export interface AdminAccess {
  /** What people call it, for messages: a URL, or `unix:PATH`. */
  readonly name: string
  /** Paths start here. */
  readonly base: string
  readonly socketPath: string | undefined
  readonly token: string | undefined
}

/**
 * Of a command: `admin` is where it was told to ask, `config` the configuration that names place and token. Where that cannot
 * be read it has been said, and the default is what is left.
 */
export function findAdmin(
  admin: string | undefined,
  config: string | undefined,
  env: NodeJS.ProcessEnv,
): AdminAccess {
  // The main file is enough, and says why where it is not: a health check must not read 100,000 tenants.
  const loaded =
    config === undefined
      ? undefined
      : (peekConfig(config, { env }) ?? loadConfigOrReport(config, env))
  const token = env['AMT_ADMIN_TOKEN'] ?? loaded?.admin.token
  return adminAt(admin ?? loaded?.admin.address ?? DEFAULT_ADMIN, token)
}

/** `place`: an http or https URL, `HOST:PORT` or `unix:PATH`. */
export function adminAt(place: string, token: string | undefined): AdminAccess {
  const socketPath = socketPathOf(place)
  if (socketPath !== undefined) return { name: place, base: 'http://localhost', socketPath, token }
  const base = /^https?:\/\//.test(place) ? place : `http://${place}`
  return { name: base, base, socketPath, token }
}

export interface AdminReply {
  readonly status: number
  readonly body: string
}

/** Asks with GET; rejects when nobody answers within `timeoutMs`, and when `signal` is aborted. `path` starts with `/`. */
export async function askAdmin(
  { base, socketPath, token }: AdminAccess,
  path: string,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<AdminReply> {
  const late = AbortSignal.timeout(timeoutMs)
  const dispatcher: Dispatcher = new Agent({
    connect: socketPath === undefined ? {} : { socketPath },
  })
  try {
    const { statusCode, body } = await request(new URL(path, base), {
      dispatcher,
      signal: signal === undefined ? late : AbortSignal.any([late, signal]),
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    })
    return { status: statusCode, body: await body.text() }
  } finally {
    await dispatcher.close()
  }
}
