/** `node:http` as a client: one connection, one call after the other. */
import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import type { SecureContextOptions } from 'node:tls'
import {
  type Answer,
  type Call,
  type CallClient,
  fieldList,
  type Interim,
  wholeBody,
} from './call.ts'

export interface ConnectionOptions extends SecureContextOptions {
  /** TLS with this name, and the `ca` that it must be of; cleartext where there is none. */
  readonly servername?: string
}

export class Http1Client implements CallClient {
  readonly version = 1
  readonly #port: number
  readonly #options: ConnectionOptions
  readonly #agent: http.Agent

  constructor(port: number, options: ConnectionOptions = {}) {
    this.#port = port
    this.#options = options
    const kept = { keepAlive: true, maxSockets: 1 }
    this.#agent = options.servername === undefined ? new http.Agent(kept) : new https.Agent(kept)
  }

  /** Begins a call; its body and trailers are the caller's business. */
  open({
    method = 'GET',
    path = '/',
    host = 'service.test',
    fields = {},
  }: Call): http.ClientRequest {
    const headers = Object.entries(fields).map(([name, value]) => [name, value] as const)
    const { request } = this.#options.servername === undefined ? http : https
    const call = request({
      ...this.#options,
      host: '127.0.0.1',
      port: this.#port,
      agent: this.#agent,
      method,
      path,
      setHost: false,
      headers: { host, ...(Object.fromEntries(headers) as http.OutgoingHttpHeaders) },
    })
    // It may come behind the head of the answer, too.
    call.on('error', () => {})
    return call
  }

  async call(call: Call): Promise<Answer> {
    const request = this.open(call)
    const interim: Interim[] = []
    request.on('information', ({ statusCode, rawHeaders }) =>
      interim.push({ status: statusCode, fields: fieldList(rawHeaders) }),
    )
    if (call.body !== undefined) {
      // Else Node takes the one piece there is for the whole, and announces its length.
      request.flushHeaders()
      for (const piece of call.body) request.write(piece)
    }
    if (call.trailers !== undefined) request.addTrailers(call.trailers)
    request.end()
    const [answer] = (await once(request, 'response')) as [http.IncomingMessage]
    const body = await wholeBody(answer)
    return {
      status: answer.statusCode ?? 0,
      fields: fieldList(answer.rawHeaders),
      body,
      trailers: fieldList(answer.rawTrailers),
      interim,
    }
  }

  close(): Promise<void> {
    this.#agent.destroy()
    return Promise.resolve()
  }
}
