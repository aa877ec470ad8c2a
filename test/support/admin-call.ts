/** One call of an admin server, with everything a test may want to lie about. */
import { request } from 'node:http'

export interface AdminCall {
  readonly method?: string
  readonly path: string
  readonly headers?: Record<string, string>
  readonly body?: string
  /** Of a unix socket, instead of the address in the URL. */
  readonly socketPath?: string
}

export interface AdminReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/** Not fetch: it would not let a test lie about `Host`, nor call a unix socket. */
export async function callAdmin(
  base: string,
  { method = 'GET', path, headers = {}, body, socketPath }: AdminCall,
): Promise<AdminReply> {
  const { hostname, port } = new URL(base)
  const place = socketPath === undefined ? { hostname, port } : { socketPath }
  return new Promise((resolve, reject) => {
    const call = request({ ...place, method, path, headers, agent: false }, response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text })
      })
      response.on('error', reject)
    })
    call.on('error', reject)
    call.end(body)
  })
}
