/** The off-the-shelf proxy for Node: http2-proxy behind node:http, with an agent that keeps connections. */
import { Agent, request } from 'node:http'
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
  void proxy.web(
    call,
    answer,
    {
      hostname: '127.0.0.1',
      port: settings.upstream,
      proxyName: 'orders',
      onReq: async (_call, options) => {
        const headers = options.headers as Record<string, string>
        delete headers[field]
        headers['x-amt-tenant'] = tenant
        headers['x-forwarded-for'] = call.socket.remoteAddress ?? ''
        return request({ ...options, agent })
      },
    },
    error => {
      if (error && !answer.headersSent) answer.writeHead(502, { 'content-length': 0 }).end()
    },
  )
})
