/** Where the admin server of a proxy is, and what opens it, for commands that ask it. */
import { Agent, type Dispatcher, request } from 'undici'
import { socketPathOf } from '../config/admin-schema.ts'

export interface AdminAccess {
  /** What people call it, for messages: a URL, or `unix:PATH`. */
  readonly name: string
  /** Paths start here. */
  readonly base: string
  readonly socketPath: string | undefined
  readonly token: string | undefined
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

/** Asks with GET; rejects when nobody answers within `timeoutMs`. `path` starts with `/`. */
export async function askAdmin(
  { base, socketPath, token }: AdminAccess,
  path: string,
  timeoutMs: number,
): Promise<AdminReply> {
  const dispatcher: Dispatcher = new Agent({
    connect: socketPath === undefined ? {} : { socketPath },
  })
  try {
    const { statusCode, body } = await request(new URL(path, base), {
      dispatcher,
      signal: AbortSignal.timeout(timeoutMs),
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    })
    return { status: statusCode, body: await body.text() }
  } finally {
    await dispatcher.close()
  }
}
