/** The off-the-shelf proxy for Node: http2-proxy behind node:http, with an agent that keeps connections. */
import { Agent, type IncomingMessage, type RequestOptions, request } from 'node:http'
import type { Socket } from 'node:net'
import proxy from 'http2-proxy'
import { credentialField, identifier, listen } from './node-front.ts'
import { readSettings } from './node-program.ts'

const settings = readSettings()
const identify = identifier(settings)
const field = credentialField(settings)
const agent = new Agent({ keepAlive: true })

listen(settings, (call, answer) => {
  const tenant = identify(call)
  if (tenant === undefined) {
    answer.writeHead(401, { 'content-length': 0 }).end()
    return
  }
  void proxy.web(call, answer, optionsFor(call, tenant, agent), error => {
    if (error && !answer.headersSent) answer.writeHead(502, { 'content-length': 0 }).end()
  })
}).on('upgrade', (call, socket, head) => {
  socket.on('error', () => socket.destroy())
  const tenant = identify(call)
  if (tenant === undefined) {
    socket.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n')
    return
  }
  // An upgraded connection is never another call's: it needs no agent.
  void proxy.ws(call, socket as Socket, head, optionsFor(call, tenant, false), error => {
    if (error) socket.destroy()
  })
})

function optionsFor({ socket }: IncomingMessage, tenant: string, upstreamAgent: Agent | false) {
  return {
    hostname: '127.0.0.1',
    port: settings.upstream,
    proxyName: 'orders',
    onReq: async (_call: IncomingMessage, options: RequestOptions) => {
      const headers = options.headers as Record<string, string>
      delete headers[field]
      headers['x-amt-tenant'] = tenant
      headers['x-forwarded-for'] = socket.remoteAddress ?? ''
      return request({ ...options, agent: upstreamAgent })
    },
  }
}
