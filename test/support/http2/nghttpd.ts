/** nghttp2's own server as a deployment: files of a folder, and uploads back as they came. */
import type { Test } from 'tap'
import type { CertificateFiles } from '../certificates.ts'
import { freePorts } from '../free-ports.ts'
import { listening, Program, skipWithout } from '../program.ts'

/** For the `skip` of tests: why they cannot run here, or false. */
export const WITHOUT_NGHTTP: string | false = skipWithout({
  nghttpd: 'nghttp2-server',
  nghttp: 'nghttp2-client',
  h2load: 'nghttp2-client',
  curl: 'curl',
})

/** As a configuration names it; over TLS where there is a certificate. */
export async function startNghttpd(
  t: Test,
  folder: string,
  certificate?: CertificateFiles,
): Promise<string> {
  const [port = 0] = await freePorts(1)
  const secure =
    certificate === undefined ? ['--no-tls'] : [certificate.keyPath, certificate.certPath]
  const [options, files] = certificate === undefined ? [secure, []] : [[], secure]
  const program = new Program(t, [
    'nghttpd',
    [
      '--address=127.0.0.1',
      `--htdocs=${folder}`,
      '--echo-upload',
      '--trailer=x-checksum: abc',
      ...options,
      String(port),
      ...files,
    ],
  ])
  await listening(program, port)
  return `${certificate === undefined ? 'h2c' : 'h2'}://127.0.0.1:${port}`
}
