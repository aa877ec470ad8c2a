/** A proxy as a process that is upgraded while clients of all kinds use it. */
import { once } from 'node:events'
import { Agent, createServer, request, type Server } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import type { Program } from './program.ts'

const PAUSE_MS = 5

export type Ready = Readonly<Record<string, unknown>> & { readonly pid: number }

/** The lines `ready` of all versions that came one after the other, oldest first. */
export function readyLines(program: Program): Ready[] {
  return program.lines
    .filter(line => line.includes('"msg":"ready"'))
    .map(line => JSON.parse(line) as Ready)
}

/** Answers each call at once, `/slow` when it is told to, and echoes behind an upgrade. */
export class Application {
  readonly #server: Server
  readonly #slow: (() => void)[] = []
  calls = 0

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(t: Test): Promise<Application> {
    const server = createServer()
    const application = new Application(server)
    server.keepAliveTimeout = 60_000
    server.on('request', (message, response) => {
      application.calls += 1
      message.resume()
      if (message.url === '/slow') application.#slow.push(() => response.end('slow'))
      else response.end('ok')
    })
    server.on('upgrade', (_, socket: Socket) => {
      application.calls += 1
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n',
      )
      socket.on('error', () => {})
      socket.pipe(socket)
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => {
      server.close()
      server.closeAllConnections()
    })
    return application
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port
  }

  get slowOnes(): number {
    return this.#slow.length
  }

  answerSlow(): void {
    for (const answer of this.#slow.splice(0)) answer()
  }
}

/** One kind of client, which calls again and again until it is stopped. */
export class Load {
  calls = 0
  readonly failures: string[] = []
  readonly #loops: Promise<void>[]
  #stopped = false

  /** `call` makes one, and rejects where it was not answered as it should be. */
  constructor(loops: number, call: () => Promise<void>) {
    this.#loops = Array.from({ length: loops }, async () => {
      while (!this.#stopped) {
        try {
          await call()
          this.calls += 1
          // By the clock: the processes that start meanwhile need the cores as well.
          await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
        } catch (error) {
          this.failures.push(String(error))
          if (this.failures.length > 20) return
        }
      }
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#loops)
  }
}

/** A connection for each call. */
export function newConnections(port: number, head: string): Load {
  return new Load(2, async () => {
    const socket = connect(port, '127.0.0.1')
    socket.setEncoding('latin1')
    let answer = ''
    socket.on('data', (chunk: string) => {
      answer += chunk
    })
    socket.write(`GET /new HTTP/1.1\r\n${head}connection: close\r\n\r\n`)
    await once(socket, 'close')
    if (!/^HTTP\/1\.1 200 [\s\S]*ok/.test(answer)) throw new Error(`new connection: "${answer}"`)
  })
}

/** Connections that are used again and again. */
export function keptConnections(t: Test, port: number, headers: Record<string, string>): Load {
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  return new Load(2, async () => {
    const call = request({ port, host: '127.0.0.1', agent, headers, path: '/kept' })
    call.end()
    const [response] = await once(call, 'response')
    response.resume()
    await once(response, 'end')
    if (response.statusCode !== 200) throw new Error(`kept connection: ${response.statusCode}`)
  })
}

/** Streams of one connection, and of the next one as soon as that says that it goes away. */
export function streams(t: Test, port: number, headers: Record<string, string>): Load {
  let session: ClientHttp2Session | undefined
  t.teardown(() => session?.destroy())
  const current = (): ClientHttp2Session => {
    if (session !== undefined && !session.closed && !session.destroyed) return session
    const opened = connectHttp2(`http://127.0.0.1:${port}`)
    opened.on('error', () => {})
    opened.on('goaway', () => {
      if (session === opened) session = undefined
    })
    session = opened
    return opened
  }
  const call = async (opened: ClientHttp2Session): Promise<void> => {
    const stream = opened.request({ ':path': '/stream', ...headers })
    stream.end()
    const [answer] = (await once(stream, 'response')) as [Record<string, unknown>]
    stream.resume()
    await once(stream, 'end')
    if (answer[':status'] !== 200) throw new Error(`stream: ${String(answer[':status'])}`)
  }
  return new Load(2, async () => {
    const opened = current()
    try {
      await call(opened)
    } catch (error) {
      // nghttp2 itself refuses what waits to be sent when GOAWAY comes: no octet of it has left, and it goes to the next.
      if (opened === session || !String(error).includes('NGHTTP2_REFUSED_STREAM')) throw error
      await call(current())
    }
  })
}

/** An upgraded connection that echoes. */
export class EchoTunnel {
  /** Resolves when it is over, be it by a reset. */
  readonly ended: Promise<void>
  readonly #socket: Socket
  #received = ''

  private constructor(socket: Socket) {
    this.#socket = socket
    this.ended = new Promise(resolve => {
      socket.once('close', () => resolve())
    })
  }

  static async open(t: Test, port: number, head: string): Promise<EchoTunnel> {
    const socket = connect(port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.on('error', () => {})
    socket.write(`GET /echo HTTP/1.1\r\n${head}connection: Upgrade\r\nupgrade: echo\r\n\r\n`)
    const tunnel = new EchoTunnel(socket)
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      tunnel.#received += chunk
    })
    await tunnel.#until(/^HTTP\/1\.1 101 [\s\S]*\r\n\r\n/)
    return tunnel
  }

  /** Sends `text` and waits until it comes back; rejects where the tunnel has ended. */
  async echo(text: string): Promise<void> {
    this.#received = ''
    this.#socket.write(text)
    await this.#until(new RegExp(`${text}$`))
  }

  end(): void {
    this.#socket.end()
  }

  async #until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.#received)) {
      if (this.#socket.destroyed) throw new Error('the tunnel has ended')
      await Promise.race([once(this.#socket, 'data'), once(this.#socket, 'close')])
    }
  }
}
