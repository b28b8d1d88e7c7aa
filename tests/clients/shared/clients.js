// The versions of pusher-js under test: where each is found, what it knows, how it is told of the auth endpoint.

const packages = '/tests/clients/node_modules';

export const clients = {
  'pusher-js-8': {
    title: 'pusher-js 8.6',
    package: 'pusher-js',
    script: `${packages}/pusher-js/dist/web/pusher-with-encryption.js`,
    sockjs: `${packages}/pusher-js/dist/web/sockjs.js`,
    abilities: ['signin', 'subscription_count'],
    authOptions: (endpoints, params) => ({
      channelAuthorization: { endpoint: endpoints.channel, transport: 'ajax', params },
      userAuthentication: { endpoint: endpoints.user, transport: 'ajax', params },
    }),
  },
  'pusher-js-5': {
    title: 'pusher-js 5.0',
    package: 'pusher-js-5',
    script: `${packages}/pusher-js-5/dist/web/pusher.js`,
    sockjs: `${packages}/pusher-js-5/dist/web/sockjs.js`,
    abilities: [],
    authOptions: (endpoints, params) => ({ authEndpoint: endpoints.channel, auth: { params }, disableStats: true }),
  },
};
