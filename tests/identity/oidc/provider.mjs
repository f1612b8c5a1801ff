// A certified OpenID provider for the tests: its keys rotate and its manners fail on command.
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const modules = createRequire(join(process.argv[2], "anything.js"));
const { Provider } = await import(pathToFileURL(modules.resolve("oidc-provider")).href);

const KINDS = {
  RS256: ["rsa", { modulusLength: 2048 }],
  ES256: ["ec", { namedCurve: "P-256" }],
  EdDSA: ["ed25519", {}],
};
const GROUPS = { svc: ["operators"], ana: ["analysts"] };
let mode = "up";
let handler;

function signingKey(alg) {
  const { privateKey } = generateKeyPairSync(...KINDS[alg]);
  return { ...privateKey.export({ format: "jwk" }), kid: randomUUID(), use: "sig", alg };
}

function makeProvider(issuer, alg) {
  const provider = new Provider(issuer, {
    jwks: { keys: [signingKey(alg)] },
    cookies: { keys: ["for the tests only"] },
    pkce: { required: () => false },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, groups: GROUPS[id] }) }),
    extraTokenClaims: (_, token) => ({ groups: GROUPS[token.accountId ?? token.clientId] }),
    clients: [
      {
        client_id: "svc",
        client_secret: "for the tests only",
        grant_types: ["client_credentials", "authorization_code"],
        redirect_uris: ["http://127.0.0.1/callback"],
        id_token_signed_response_alg: alg,
        token_endpoint_auth_method: "client_secret_post",
      },
      {
        client_id: "console",
        grant_types: ["authorization_code"],
        redirect_uris: ["http://127.0.0.1:8731/login/callback"],
        id_token_signed_response_alg: alg,
        token_endpoint_auth_method: "none",
      },
    ],
    interactions: { url: (_, { uid }) => `/login/${uid}` },
    async loadExistingGrant({ oidc }) {
      const grant = new provider.Grant({
        clientId: oidc.client.clientId,
        accountId: oidc.session.accountId,
      });
      grant.addOIDCScope("openid");
      grant.addResourceScope("urn:traces", "read");
      await grant.save();
      return grant;
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => "urn:traces",
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: "read",
          audience: "traces",
          accessTokenFormat: "jwt",
          accessTokenTTL: 300,
          jwt: { sign: { alg } },
        }),
      },
    },
  });
  const serve = provider.callback();
  return async (request, response) => {
    if (request.url.startsWith("/login/")) {
      const login = { accountId: "ana" };
      await provider.interactionFinished(request, response, { login });
    } else {
      serve(request, response);
    }
  };
}

const server = createServer((request, response) => {
  const [, command, value] = request.url.split("/");
  if (command === "rotate") {
    handler = makeProvider(`http://127.0.0.1:${server.address().port}`, value);
    response.end();
  } else if (command === "mode") {
    mode = value;
    response.end();
  } else if (mode === "hang") {
    // Never answered.
  } else if (mode === "garbage") {
    response.end("<html>It works!</html>");
  } else if (mode === "huge") {
    const chunk = Buffer.alloc(1024 * 1024, " ");
    let left = 100;
    const more = () => (left-- > 0 ? response.write(chunk, more) : response.end());
    response.on("error", () => {});
    more();
  } else if (mode === "down") {
    request.socket.destroy();
  } else {
    handler(request, response);
  }
});
server.listen(0, "127.0.0.1", () => {
  handler = makeProvider(`http://127.0.0.1:${server.address().port}`, "RS256");
  console.log(server.address().port);
});
process.stdin.on("end", () => process.exit(0)).resume();
