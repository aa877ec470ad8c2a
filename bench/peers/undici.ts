/** The fastest forwarding that Node's own HTTP offers: node:http in front, undici's dispatch behind it. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Dispatcher, Pool } from 'undici'
import { credentialField, identifier, listen } from './node-front.ts'
import { readSettings } from './node-program.ts'

const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
])

const settings = readSettings()
const identify = identifier(settings)
const field = credentialField(settings)
const pool = new Pool(`http://127.0.0.1:${settings.upstream}`, { keepAliveTimeout: 300_000 })

listen(settings, (call, answer) => {
  const tenant = identify(call)
  if (tenant === undefined) {
    answer.writeHead(401, { 'content-length': 0 }).end()
    return
  }
  const { method = 'GET', url = '/' } = call
  const hasBody = 'content-length' in call.headers || 'transfer-encoding' in call.headers
  const options = {
    path: url,
    method: method,
    headers: fieldsOf(call, tenant),
    body: hasBody ? call : null,
  }
  pool.dispatch(options, forwardTo(answer))
})

function fieldsOf({ rawHeaders, socket }: IncomingMessage, tenant: string): string[] {
  const fields = ['x-amt-tenant', tenant, 'x-forwarded-for', socket.remoteAddress ?? '']
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] as string).toLowerCase()
    if (name !== field && !HOP_BY_HOP.has(name)) fields.push(name, rawHeaders[at + 1] as string)
  }
  return fields
}

function forwardTo(answer: ServerResponse): Dispatcher.DispatchHandler {
  return {
    onRequestStart: controller => {
      answer.once('close', () => {
        if (!answer.writableFinished) controller.abort(new Error('the client has left'))
      })
    },
    onResponseStart: (_controller, status, headers) => {
      for (const name of HOP_BY_HOP) delete headers[name]
      answer.writeHead(status, headers)
    },
    onResponseData: (controller, chunk) => {
      if (answer.write(chunk)) return
      controller.pause()
      answer.once('drain', () => controller.resume())
    },
    onResponseEnd: () => answer.end(),
    onResponseError: () => {
      if (answer.headersSent) answer.destroy()
      else answer.writeHead(502, { 'content-length': 0 }).end()
    },
  }
}
