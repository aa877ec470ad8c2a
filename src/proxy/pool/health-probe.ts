/** One active check of one endpoint, over a connection of its own: a TCP or TLS handshake, or a request by HTTP. */
import { type buildConnector, Client } from 'undici'
import { dial, readyEvent } from './dial.ts'
import type { Endpoint } from './endpoint.ts'

const MAX_BODY_BYTES = 64 * 1024

/** Whether it answers `GET path` with 2xx or 3xx within `timeoutMs`. Never rejects. */
export async function answersHttp(
  endpoint: Endpoint,
  path: string,
  timeoutMs: number,
): Promise<boolean> {
  // The name in the URL becomes `Host`; what we connect to is the address, as calls do.
  const client = new Client(`${endpoint.tls ? 'https' : 'http'}://${endpoint.authority}`, {
    connect: (_options, callback) => give(endpoint, callback),
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  })
  try {
    const signal = AbortSignal.timeout(timeoutMs)
    const { statusCode, body } = await client.request({ path, method: 'GET', signal })
    await body.dump({ limit: MAX_BODY_BYTES })
    return statusCode >= 200 && statusCode < 400
  } catch {
    return false
  } finally {
    void client.destroy().catch(() => {})
  }
}

/** Whether it accepts a connection, and its certificate is right where it has TLS, within `timeoutMs`. Never rejects. */
export async function acceptsConnection(endpoint: Endpoint, timeoutMs: number): Promise<boolean> {
  const socket = dial(endpoint, { allowHalfOpen: false })
  const timer = setTimeout(() => socket.destroy(), timeoutMs)
  const connected = await new Promise<boolean>(resolve => {
    socket.once(readyEvent(endpoint), () => resolve(true))
    socket.on('error', () => {})
    socket.once('close', () => resolve(false))
  })
  clearTimeout(timer)
  socket.destroy()
  return connected
}

function give(endpoint: Endpoint, callback: buildConnector.Callback): void {
  const socket = dial(endpoint, { allowHalfOpen: false })
  const failed = (error: Error): void => callback(error, null)
  socket.once('error', failed)
  socket.once(readyEvent(endpoint), () => {
    socket.off('error', failed)
    callback(null, socket)
  })
}
