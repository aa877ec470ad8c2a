/** One visit of a client to a listener with TLS: a handshake, a call, and what both told. */
import net from 'node:net'
import tls from 'node:tls'

export interface Visit {
  readonly resumed: boolean
  /** The answer to `GET /`; '' where there was none. */
  readonly text: string
  /** To resume with; the last that came. */
  readonly session: Buffer | undefined
  readonly protocol: string | null
  readonly cipher: string
  /** PEM. */
  readonly serverCertificate: string
  /** What ended it, where that was an error. */
  readonly error: string | undefined
}

export async function visit(
  port: number,
  {
    call = 'GET / HTTP/1.1\r\nhost: acme.test\r\nconnection: close\r\n\r\n',
    from,
    ...options
  }: tls.ConnectionOptions & {
    readonly call?: string
    /** An address of this machine, where it is not to be any. */
    readonly from?: string
  },
): Promise<Visit> {
  const raw = net.connect({ port, host: '127.0.0.1', localAddress: from, noDelay: true })
  raw.on('error', () => {})
  const socket = tls.connect({ servername: 'acme.test', ...options, socket: raw })
  let session: Buffer | undefined
  let text = ''
  let error: string | undefined
  let told = { resumed: false, protocol: null as string | null, cipher: '', serverCertificate: '' }
  socket.on('session', given => {
    session = given
  })
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1')
  })
  socket.on('error', (failure: NodeJS.ErrnoException) => {
    error = failure.code ?? failure.message
  })
  socket.on('secureConnect', () => {
    told = {
      resumed: socket.isSessionReused(),
      protocol: socket.getProtocol(),
      cipher: socket.getCipher().name,
      serverCertificate: socket.getPeerX509Certificate()?.toString() ?? '',
    }
    // For a resumed session of TLS 1.2 there is no event.
    if (socket.getProtocol() === 'TLSv1.2') session ??= socket.getSession()
    socket.write(call)
  })
  await new Promise(resolve => socket.on('close', resolve))
  return { ...told, text, session, error }
}
